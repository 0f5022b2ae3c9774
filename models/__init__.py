"""What the numbers mean: interest, catalogue, item statistics, ranking. No Faust, no Kafka, no clock of its own."""
