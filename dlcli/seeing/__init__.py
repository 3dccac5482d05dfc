"""Looking inside a classifier: what it reads in a picture, what its units answer to, whether its layers learn."""
