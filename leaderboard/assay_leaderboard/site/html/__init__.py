"""HTML of the site: `templates` (Jinja), `table`, `links` between pages, `text` of values."""
