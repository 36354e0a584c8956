"""What pages for a browser are made of: the shell, thumbnails, cards of images, charts."""
