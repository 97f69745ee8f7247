//! vitald probe: docker.
