"""Methods for domain generalisation: trained on several source domains, tested on an unseen one."""
