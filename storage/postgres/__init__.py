"""PostgreSQL, the truth: one door per tenant, SQL in named blocks, a repository per noun."""
