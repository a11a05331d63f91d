"""Tables and figures of finished trials, beside the published ones."""
