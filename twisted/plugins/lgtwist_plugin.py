from twisted.application.service import ServiceMaker

lgtwist = ServiceMaker("lgtwist", "lgtwist.tap", "A OneBot 11 connection layer.", "lgtwist")
