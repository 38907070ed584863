"""Long runs: plan, chunks, workers, cluster, folder, known molecules, results."""
