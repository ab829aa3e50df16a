"""From a store to tables, pictures and pages."""
