"""One reply, from the first attempt to the last piece: the call and its retries, the blocking and the async stream."""
