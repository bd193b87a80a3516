"""What is added to h: directions, their arithmetic and projection (eq. 12), and edits."""
