"""Scripts that turn raw data sets into videos or frames and one annotation format."""
