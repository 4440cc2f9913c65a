import os

# Unless told otherwise before it is loaded, onnxruntime reports to its maker and keeps a database of that in the home directory.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
