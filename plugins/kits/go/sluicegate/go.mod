module sluicegate

go 1.25
