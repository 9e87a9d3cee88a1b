//! Genesis Mesh Agent Framework: the facade library and the one binary.
