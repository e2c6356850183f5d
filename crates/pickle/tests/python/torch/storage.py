def _load_from_bytes(data):
    return {"storage": data}
