"""The measured claims: ratios in one run, interleaved, medians; `make bench` writes RESULTS.md."""
