"""The composition root: settings in, the web application out."""
