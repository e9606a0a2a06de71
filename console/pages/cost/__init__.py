"""Cost: bills compared with computed cost, price updates, and the export."""
