"""Sources of documents: folders, archives, tables, sites and buckets, read lazily; a failure is an item."""
