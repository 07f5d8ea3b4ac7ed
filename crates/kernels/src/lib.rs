//! pinyon-kernels
