"""Weights by name, from files that cannot run code."""

from .files import read_state as read_state
from .load import load_weights as load_weights
from .load import located as located
from .load import preprocessing_of as preprocessing_of
from .load import save_weights as save_weights
from .load import state_of as state_of
