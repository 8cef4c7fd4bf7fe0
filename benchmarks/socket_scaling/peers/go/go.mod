module ringplane/socket_scaling

go 1.25
