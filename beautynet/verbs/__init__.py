"""The verbs: one public function each, the same from Python as from the command line."""
