"""Why a molecule is refused: rules, alerts, ring frequency, sets of filters."""
