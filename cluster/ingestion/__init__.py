"""The client side of ingestion: `loquent ingest`, from files and addresses to a watched job."""
