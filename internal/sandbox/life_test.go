package sandbox

func helperSupervisor() {}
func helperCrippled()   {}
