"""Pages and pictures: the report, charts, candidate cards, drawings, analogues."""
