"""What computes a network on this machine: torch, OpenVINO, ONNX Runtime; memory, tiles, export."""
