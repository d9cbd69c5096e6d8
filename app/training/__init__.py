"""Trainings as the window has them: started, followed, stopped, resumed and published, each in a process of its own."""
