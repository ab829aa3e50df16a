"""The launcher of SLURM: jobs in bundles, bundles in job arrays, submitted with submitit."""
