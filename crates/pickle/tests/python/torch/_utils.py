def _rebuild_tensor_v2(*args):
    return {"tensor": args}


def _rebuild_tensor(*args):
    return {"tensor": args}


def _rebuild_parameter(*args):
    return {"parameter": args}


def _rebuild_sparse_tensor(*args):
    return {"sparse": args}
