// Sends the launch on at once; without JavaScript the form's button does the same.
document.getElementById("send").submit();
