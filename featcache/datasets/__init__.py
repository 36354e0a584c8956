"""Data sets: named ones with a card, folders of class folders, CSV files."""

from featcache.datasets.cards import Card, list_cards
from featcache.datasets.dataset import Dataset, Reader, Split
from featcache.datasets.load import load_dataset

__all__ = ["Card", "Dataset", "Reader", "Split", "list_cards", "load_dataset"]
