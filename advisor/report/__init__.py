"""Reports of measurements: as JSON, in the terminal, as a page; a stored run can be shown as often as wanted."""
