module plugins/tenant-header

go 1.25

require sluicegate v0.0.0

// Written by `sluicegate plugin build`, as all of kit/. Nothing has to be downloaded.
replace sluicegate => ./kit/sluicegate
