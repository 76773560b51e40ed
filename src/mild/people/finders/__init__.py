"""Ways to find people, one a file, behind :data:`mild.people.find.BACKENDS`."""
