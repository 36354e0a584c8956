"""What a head answers beside one class: none of these, and sets of classes."""
