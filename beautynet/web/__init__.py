"""What stands behind the files of `pages/`: their servers, and what fills them in."""
