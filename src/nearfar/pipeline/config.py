"""Where rooms above take the settings of a prediction from, and the model when none is named."""

from __future__ import annotations

from nearfar.predict_config import ENSEMBLE_STARTS as ENSEMBLE_STARTS
from nearfar.predict_config import FAMILY_OPTIONS as FAMILY_OPTIONS
from nearfar.predict_config import LARGEST_SIDE as LARGEST_SIDE
from nearfar.predict_config import SMALLEST_SIDE as SMALLEST_SIDE
from nearfar.predict_config import PredictConfig as PredictConfig
from nearfar.predict_config import PredictSettings as PredictSettings

DEFAULT_MODEL = "ppd-tiny"
