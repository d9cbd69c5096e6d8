"""Training: makes weights. Imports recon, never Qt; the only folder that imports lightning."""
