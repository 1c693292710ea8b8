"""Jobs over everybody: cuts of scores and parameters of models, published as definitions."""
