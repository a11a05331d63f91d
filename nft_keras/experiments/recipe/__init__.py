"""What a recipe may say, and the trials that it stands for."""
