"""What people do with the studio, one noun a file. Knows tables through `storage.rows`; no web, no torch, no SQL."""
