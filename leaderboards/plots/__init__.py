"""Pictures of tables. matplotlib is loaded when a picture is drawn."""
