"""Other shots of the same scene: where what somebody hides was really seen."""
