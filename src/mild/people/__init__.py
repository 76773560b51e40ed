"""Who is in the photo: finders, :class:`~mild.people.scene.Scene`, selection, who is in front."""
