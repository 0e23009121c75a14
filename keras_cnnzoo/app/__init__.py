"""What joins the zoo, export and the bench, which stay apart everywhere else."""
