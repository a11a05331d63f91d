"""What nft_keras costs beside a plain PyTorch eager loop, measured: `python -m bench`."""
