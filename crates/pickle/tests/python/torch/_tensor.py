def _rebuild_from_type_v2(*args):
    return {"subclass": args}
