"""Pages as typed functions of data: no requests, no database, no decisions about who may see what."""
