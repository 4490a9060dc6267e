"""Everything the studio remembers: rows in a database, files in a store. The only place that knows SQLAlchemy."""
