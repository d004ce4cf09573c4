"""What a site is: pure, frozen values."""
